from .._moved import door

__getattr__ = door("audio")  # the names of release 0.1
