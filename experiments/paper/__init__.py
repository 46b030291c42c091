"""What a result becomes on paper: figures, tables and a report, made again from nothing but its files."""
