from .._moved import door

__getattr__ = door("corpus")  # the names of release 0.1
