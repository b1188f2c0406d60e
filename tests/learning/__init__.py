"""What training shows: tables that take minutes. `python -m tests.learning NAME`; results are kept in RESULTS.md."""
