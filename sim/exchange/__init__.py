"""Order book, mark price, oracle, funding, fees and admission of one venue."""

from sim.exchange.mark import BookMark, MedianMark

MARKS = {"median": MedianMark, "book": BookMark}
