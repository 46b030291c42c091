"""Names of columns in price files, as exchanges and data vendors write them."""

import re
from collections.abc import Sequence

TIMES = (
    *("timeopen", "opentime", "unix", "unixtimestamp", "date", "datetime", "timestamp", "time", "dateutc", "epoch"),
    *("ts", "data", "gmttime", "localtime", "snappedat", "observationdate", "timeperiodstart", "starttime"),
    *("closetime", "timeclose"),
)
"""Columns of times in order of preference: the open of a bar before its close."""

CLOCK = "time"
"""Time of day beside a column of days (Stooq)."""

OPEN, HIGH, LOW, CLOSE, ADJUSTED = "open", "high", "low", "close", "adj close"
QUOTES = (OPEN, HIGH, LOW, CLOSE, ADJUSTED)

ALIASES = {
    **{"open": OPEN, "openprice": OPEN, "priceopen": OPEN, "otwarcie": OPEN},
    **{"high": HIGH, "highprice": HIGH, "pricehigh": HIGH, "najwyzszy": HIGH, "najwyszy": HIGH},
    **{"low": LOW, "lowprice": LOW, "pricelow": LOW, "najnizszy": LOW, "najniszy": LOW},
    **{"close": CLOSE, "closeprice": CLOSE, "priceclose": CLOSE, "closelast": CLOSE, "zamkniecie": CLOSE},
    **{"zamknicie": CLOSE, "adjclose": ADJUSTED, "adjustedclose": ADJUSTED, "closeadj": ADJUSTED},
    **{"adjcloseprice": ADJUSTED, "closeadjusted": ADJUSTED},
}
"""Polish names are Stooq's, with and without the letters that ASCII lacks."""

SHORT = {"o": OPEN, "h": HIGH, "l": LOW, "c": CLOSE}
"""Names of these only where all four are there: a single letter may be an asset."""

PRICES = {"price", "last", "spread", "settle", "settlement", "value", "mid"}
"""Columns that hold prices, never returns."""

OTHERS = {
    *("symbol", "ticker", "pair", "name", "exchange", "market", "base", "quote", "currency", "per", "interval"),
    *("vol", "wolumen", "turnover", "amount", "trades", "tradecount", "tradescount", "numberoftrades", "count"),
    *("ignore", "quoteassetvolume", "quotevolume", "takerbuybaseassetvolume", "takerbuyquoteassetvolume"),
    *("takerbuyvolume", "takerbuyquotevolume", "takerbuybase", "takerbuyquote", "tbbase", "tbquote"),
    *("vwap", "weightedaverage", "average", "change", "change%", "changepercent", "%change", "returns%"),
    *("dividends", "dividend", "dividendamount", "divcash", "stocksplits", "splits", "splitfactor", "capitalgains"),
    *("splitcoefficient", "adjopen", "adjhigh", "adjlow", "adjvolume", "unadjustedclose", "repaired"),
    *("marketcap", "circulatingsupply", "totalsupply", "timehigh", "timelow", "closetime", "timeclose", "openint"),
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

SYMBOLS = {"symbol", "ticker", "pair", "instrument", "instrumentname", "coin", "instid", "contract", "contracts"}
"""Columns that name what is traded: one of it in a file."""

HEADLESS = {
    2: ("date", "close"),
    5: ("timestamp", "open", "high", "low", "close"),
    6: ("timestamp", "open", "high", "low", "close", "volume"),
    7: ("timestamp", "open", "high", "low", "close", "volume", "trades"),
    8: ("timestamp", "open", "high", "low", "close", "vwap", "volume", "trades"),
    9: ("timestamp", "open", "high", "low", "close", "volume", "amount", "quote volume", "confirm"),
    12: (
        *("open time", "open", "high", "low", "close", "volume", "close time", "quote volume", "count"),
        *("taker buy volume", "taker buy quote volume", "ignore"),
    ),
}
"""Names of files without a header by number of columns: ccxt (6), Kraken (7, 8), OKX (9), Binance klines (12)."""


def key(name: object) -> str:
    """A name without case, numbering, brackets, spaces and signs: ``<CLOSE>``, ``4. close`` and ``Close`` agree."""
    text = re.sub(r"^\s*\d+[a-z]?\.\s+", "", str(name).lower())
    return re.sub(r"[^a-z0-9%]", "", text)


def times_among(names: Sequence[str]) -> list[str]:
    """Columns of times, the preferred first."""
    keys = [key(name) for name in names]
    if set(SHORT) <= set(keys):  # Polygon, Alpaca, Finnhub
        keys = ["time" if each == "t" else each for each in keys]
    return [name for wanted in TIMES for name, found in zip(names, keys, strict=True) if found == wanted]


def quotes_among(names: Sequence[str]) -> dict[str, list[str]]:
    """Columns by what they quote: open, high, low, close, adj close."""
    keys = [key(name) for name in names]
    aliases = ALIASES | SHORT if set(SHORT) <= set(keys) else ALIASES
    dated = {"marketcap", "snappedat"} & set(keys) or {"open", "high", "low"} <= set(keys)
    if dated and "close" not in keys:  # CoinGecko, Investing.com
        aliases = aliases | {"price": CLOSE}
    found: dict[str, list[str]] = {}
    for name, word in zip(names, keys, strict=True):
        if word in aliases:
            found.setdefault(aliases[word], []).append(name)
    return found


def is_other(name: str, names: Sequence[str]) -> bool:
    """Whether a column among others is known to hold no price."""
    word = key(name)
    if word in ("t", "v", "vw", "n", "s") and set(SHORT) <= {key(each) for each in names}:
        return True
    if word == "spread" and {"open", "high", "low", "close"} <= {key(each) for each in names}:  # MetaTrader, in points
        return True
    return word in OTHERS or word in TIMES or word.startswith(("volume", "unnamed")) or word.endswith("volume")
