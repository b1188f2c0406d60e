"""The gradebook of a class, one SQLite file: who handed in what, what it earned, who changed what and when."""
