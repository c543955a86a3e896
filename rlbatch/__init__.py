"""rlbatch: how many replay experiences should make up each update batch?"""

from importlib.metadata import version

__version__ = version("rlbatch")
__all__ = ["__version__"]
