"""`python -m rlbatch.cli`: the same as `rlbatch`."""

from rlbatch.cli.main import main

if __name__ == "__main__":
    main()
