"""Where the doubt is: a map of each suspect, made of a case and its prediction, kept in the run, written as files."""
