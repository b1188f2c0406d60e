"""The course: notebooks are run, checked, released, graded and reported here; `lmbook` is its command line."""
