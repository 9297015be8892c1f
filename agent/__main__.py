"""`python -P -m agent COMMAND`: as `holdfast`."""

from agent.cli import main

if __name__ == "__main__":
    main()
