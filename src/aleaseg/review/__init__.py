"""Looking at the cases of a run and deciding about them: a page on this machine, and what was decided.

Nothing is imported here: the command line reads the settings alone.
"""
