from .._moved import door

__getattr__ = door("models")  # the names of release 0.1
