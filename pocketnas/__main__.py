"""`python -m pocketnas`: the command line."""

from pocketnas.cli import main

if __name__ == "__main__":
    main()
