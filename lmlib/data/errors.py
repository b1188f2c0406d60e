"""The error of the room `data`."""


class DataError(Exception):
    """Data that cannot be had or used: what was asked for, what there is, what to do."""
