"""`python -m aleaseg`."""

from aleaseg.cli import main

if __name__ == "__main__":
    main()
