"""What a run of a crowd looks like afterwards: a page of plots, a JSON file, a comparison."""
