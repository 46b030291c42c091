"""One market under several margin engines, on the same draws: ``deleverage run --engines``."""
