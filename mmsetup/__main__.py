"""``python -m mmsetup`` is the console script ``mmsetup``."""

from mmsetup.cli import main

if __name__ == "__main__":
    main()
