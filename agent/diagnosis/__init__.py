"""What is wrong, why, and what to do: facts are gathered, judged by pure checks, combined, and shown.

`examine` does it all; `report` shows the outcome; `log` remembers changes of state.
"""
