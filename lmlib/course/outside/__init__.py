"""Answers judged outside of the process that runs them: the child calls, the checker draws and compares."""
