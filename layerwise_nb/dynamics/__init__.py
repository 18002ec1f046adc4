from .._moved import door

__getattr__ = door("dynamics")  # the names of release 0.1
