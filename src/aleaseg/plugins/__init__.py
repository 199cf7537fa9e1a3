"""What other people's training programs load of this package."""
