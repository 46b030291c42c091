"""Links of contagion: rows grouped by their columns, and instruments of origin."""
