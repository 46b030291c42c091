"""Names of columns in price files, as exchanges and data vendors write them."""

import re
from collections.abc import Sequence

TIME_NAMES = (
    *(
        "timeopen",
        "opentime",
        "unix",
        "unixtimestamp",
        "date",
        "datetime",
        "timestamp",
        "time",
        "dateutc",
        "epoch",
    ),
    *(
        "ts",
        "data",
        "gmttime",
        "localtime",
        "snappedat",
        "observationdate",
        "timeperiodstart",
        "starttime",
    ),
    *("closetime", "timeclose"),
)
"""Columns of times in order of preference: the open of a bar before its close."""

CLOCK_NAME = "time"
"""Column of the time of day beside a column of days (Stooq)."""

OPEN, HIGH, LOW, CLOSE, ADJUSTED = "open", "high", "low", "close", "adj close"
QUOTES = (OPEN, HIGH, LOW, CLOSE, ADJUSTED)

ALIASES = {
    **{"open": OPEN, "openprice": OPEN, "priceopen": OPEN, "otwarcie": OPEN},
    **{"high": HIGH, "highprice": HIGH, "pricehigh": HIGH, "najwyzszy": HIGH, "najwyszy": HIGH},
    **{"low": LOW, "lowprice": LOW, "pricelow": LOW, "najnizszy": LOW, "najniszy": LOW},
    **{
        "close": CLOSE,
        "closeprice": CLOSE,
        "priceclose": CLOSE,
        "closelast": CLOSE,
        "zamkniecie": CLOSE,
    },
    **{"zamknicie": CLOSE, "adjclose": ADJUSTED, "adjustedclose": ADJUSTED, "closeadj": ADJUSTED},
    **{"adjcloseprice": ADJUSTED, "closeadjusted": ADJUSTED},
}
"""Names of price columns; Polish ones are Stooq's, with and without the letters ASCII lacks."""

SHORT_ALIASES = {"o": OPEN, "h": HIGH, "l": LOW, "c": CLOSE}
"""Names that count only if all four are present, because a single letter may be an asset."""

PRICE_NAMES = {"price", "last", "spread", "settle", "settlement", "value", "mid"}
"""Columns that hold prices, never returns."""

OTHER_NAMES = {
    *(
        "symbol",
        "ticker",
        "pair",
        "name",
        "exchange",
        "market",
        "base",
        "quote",
        "currency",
        "per",
        "interval",
    ),
    *(
        "vol",
        "wolumen",
        "turnover",
        "amount",
        "trades",
        "tradecount",
        "tradescount",
        "numberoftrades",
        "count",
    ),
    *(
        "ignore",
        "quoteassetvolume",
        "quotevolume",
        "takerbuybaseassetvolume",
        "takerbuyquoteassetvolume",
    ),
    *(
        "takerbuyvolume",
        "takerbuyquotevolume",
        "takerbuybase",
        "takerbuyquote",
        "tbbase",
        "tbquote",
    ),
    *(
        "vwap",
        "weightedaverage",
        "average",
        "change",
        "change%",
        "changepercent",
        "%change",
        "returns%",
    ),
    *(
        "dividends",
        "dividend",
        "dividendamount",
        "divcash",
        "stocksplits",
        "splits",
        "splitfactor",
        "capitalgains",
    ),
    *(
        "splitcoefficient",
        "adjopen",
        "adjhigh",
        "adjlow",
        "adjvolume",
        "unadjustedclose",
        "repaired",
    ),
    *(
        "marketcap",
        "circulatingsupply",
        "totalsupply",
        "timehigh",
        "timelow",
        "closetime",
        "timeclose",
        "openint",
    ),
    *(
        "openinterest",
        "interest",
        "fundingrate",
        "spreadbps",
        "confirm",
        "id",
        "tickvol",
        "timeperiodend",
        "row",
        "index",
        "unnamed0",
    ),
}
"""Columns beside prices that are known to hold none."""

SYMBOL_NAMES = {
    "symbol",
    "ticker",
    "pair",
    "instrument",
    "instrumentname",
    "coin",
    "instid",
    "contract",
    "contracts",
}
"""Columns that name the instrument; a file may hold only one instrument."""

HEADERLESS_NAMES = {
    2: ("date", "close"),
    5: ("timestamp", "open", "high", "low", "close"),
    6: ("timestamp", "open", "high", "low", "close", "volume"),
    7: ("timestamp", "open", "high", "low", "close", "volume", "trades"),
    8: ("timestamp", "open", "high", "low", "close", "vwap", "volume", "trades"),
    9: ("timestamp", "open", "high", "low", "close", "volume", "amount", "quote volume", "confirm"),
    12: (
        *(
            "open time",
            "open",
            "high",
            "low",
            "close",
            "volume",
            "close time",
            "quote volume",
            "count",
        ),
        *("taker buy volume", "taker buy quote volume", "ignore"),
    ),
}
"""Column names of files without a header, by number of columns.

They are those of ccxt (6), Kraken (7, 8), OKX (9) and Binance klines (12).
"""


def normalise_name(name: object) -> str:
    """Remove case, numbering, brackets, spaces and signs: ``<CLOSE>`` and ``4. close`` agree."""
    text = re.sub(r"^\s*\d+[a-z]?\.\s+", "", str(name).lower())
    return re.sub(r"[^a-z0-9%]", "", text)


def find_time_columns(names: Sequence[str]) -> list[str]:
    """Return the columns of times, the preferred first."""
    keys = [normalise_name(name) for name in names]
    if set(SHORT_ALIASES) <= set(keys):  # Polygon, Alpaca, Finnhub
        keys = ["time" if key == "t" else key for key in keys]
    return [
        name
        for preferred in TIME_NAMES
        for name, key in zip(names, keys, strict=True)
        if key == preferred
    ]


def find_quote_columns(names: Sequence[str]) -> dict[str, list[str]]:
    """Return the columns of each quote: open, high, low, close, adj close."""
    keys = [normalise_name(name) for name in names]
    aliases = ALIASES | SHORT_ALIASES if set(SHORT_ALIASES) <= set(keys) else ALIASES
    dated = {"marketcap", "snappedat"} & set(keys) or {"open", "high", "low"} <= set(keys)
    if dated and "close" not in keys:  # CoinGecko, Investing.com
        aliases = aliases | {"price": CLOSE}
    columns: dict[str, list[str]] = {}
    for name, key in zip(names, keys, strict=True):
        if key in aliases:
            columns.setdefault(aliases[key], []).append(name)
    return columns


def is_known_other(name: str, names: Sequence[str]) -> bool:
    """Return True if a column among others is known to hold no price."""
    word, keys = normalise_name(name), {normalise_name(other) for other in names}
    if word in ("t", "v", "vw", "n", "s") and set(SHORT_ALIASES) <= keys:
        return True
    if word == "spread" and {"open", "high", "low", "close"} <= keys:  # MetaTrader, in points
        return True
    return (
        word in OTHER_NAMES
        or word in TIME_NAMES
        or word.startswith(("volume", "unnamed"))
        or word.endswith("volume")
    )
