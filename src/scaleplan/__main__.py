"""`python -m scaleplan`."""

from scaleplan.cli import main

if __name__ == "__main__":
    main()
