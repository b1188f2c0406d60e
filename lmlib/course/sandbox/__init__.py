"""A process kept in bounds: namespaces and a file system of its own, Landlock, seccomp, limits, a memory watch."""
