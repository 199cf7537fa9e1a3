"""The main verb: check, predict, score, compare, page.

The room is called `auditing`, since a folder `aleaseg/audit` would take the place of the function
`aleaseg.audit` as soon as anything in it is imported.
"""
