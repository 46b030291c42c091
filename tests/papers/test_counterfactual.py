"""Attribution and counterfactual, in size, for owners with a hundredth of a cascade.

Four markets, printed by ``pytest -m slow -rP``. In the known one bids never end, and a removal
spares R ÷ (1 - R) accounts in the mean. In the others the index falls by 10% and makers have more
or less capital: the less they have, the more often bids end before sellers do, and spared accounts
leave them to the next.
"""

import pandas as pd
import pytest
from papers.counterfactual import crashes, known, met

from experiments.cascades.attribution_vs_removal import (
    BY_LOTS,
    MEASURES,
    find_disagreements,
    format_comparison,
    measure_agreement,
)

UNDER, CLOSE_OUTS, WAY = MEASURES


def told(name: str, table: pd.DataFrame) -> None:
    print(f"\n{name}", *format_comparison(table), sep="\n")


@pytest.mark.slow
def test_where_bids_never_end_attribution_is_what_removal_spares() -> None:
    table = known(count=3, worlds=8)
    told("known market, R = .7", table)
    for measure in MEASURES:
        found = measure_agreement(table, measure)
        assert found.same_sign_share >= 0.9
        assert found.mean_attributed == pytest.approx(found.mean_removed, rel=0.5)


@pytest.mark.slow
def test_where_makers_are_deep_signs_agree_and_sizes_go_together() -> None:
    """Over all owners: bids are short in few of these cascades."""
    table = crashes(8e6, range(15, 18))
    told("makers of 8 millions", table)
    assert len(table) > 80
    assert met(table).mean() > 0.8
    for measure in (UNDER, WAY):
        found = measure_agreement(table, measure)
        assert found.same_sign_share >= 0.9
        assert found.decided_same_sign_share == 1
        assert found.n_decided > len(table) / 3, "enough twins decide the sign"
    assert measure_agreement(table, CLOSE_OUTS).same_sign_share >= 0.75
    assert min(measure_agreement(table, measure).correlation for measure in MEASURES) > 0.7
    assert min(measure_agreement(table, measure).correlation for measure in BY_LOTS) > 0.8


@pytest.mark.slow
def test_where_cascades_end_signs_agree_and_most_where_all_found_bids() -> None:
    table = crashes(4e6, range(2))
    found, short = table[met(table)], table[~met(table)]
    told("makers of 4 millions", table)
    told("makers of 4 millions, cascades that found bids", found)
    told("makers of 4 millions, bids were short", short)
    assert len(table) > 80
    assert len(found) > 50
    for measure in (UNDER, WAY):
        each = measure_agreement(table, measure)
        assert each.same_sign_share >= 0.9
        assert each.decided_same_sign_share == 1
        assert each.n_decided > len(table) / 3, "enough twins decide the sign"
    assert measure_agreement(table, CLOSE_OUTS).same_sign_share >= 0.75
    assert min(measure_agreement(table, measure).correlation for measure in MEASURES) > 0.7
    assert min(measure_agreement(table, measure).correlation for measure in BY_LOTS) > 0.8
    assert min(measure_agreement(found, measure).same_sign_share for measure in MEASURES) >= 0.9
    assert min(measure_agreement(found, measure).correlation for measure in BY_LOTS) > 0.8
    assert (
        measure_agreement(short, CLOSE_OUTS).same_sign_share
        < measure_agreement(found, CLOSE_OUTS).same_sign_share
    )


@pytest.mark.slow
def test_where_bids_end_first_nobody_alone_made_the_difference() -> None:
    """Attribution still shares the harm out; removal finds others in the removed one's place."""
    table = crashes(2e5, range(1), leverage=15, count=1, worlds=6)
    told("makers of .2 millions", table)
    assert not met(table).any()
    assert (
        measure_agreement(table, WAY).mean_removed
        < 0.2 * measure_agreement(table, WAY).mean_attributed
    )
    assert measure_agreement(table, CLOSE_OUTS).mean_removed < 0
    assert find_disagreements(table)["why"].str.contains("bids ran short").any()
