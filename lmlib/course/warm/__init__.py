"""Notebooks executed without a kernel: a server that has imported what notebooks import forks a child for each."""
