"""What every page of the package is made with: drawings, tables, slices, numbers as texts, templates and styles.

Nothing here knows what a page is about. A page is a template, what it names, and the files beside it.
"""
