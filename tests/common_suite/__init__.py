"""transformers' own common tests, of the installed version, run on the models and the extractor of this package."""
