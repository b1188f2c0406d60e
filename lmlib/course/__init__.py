"""The course: notebooks are run, checked, released, graded and reported; `lmbook` is its command line."""
