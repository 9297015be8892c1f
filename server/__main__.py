"""`python -P -m server COMMAND`: as `holdfast-server`."""

from server.cli import main

if __name__ == "__main__":
    main()
