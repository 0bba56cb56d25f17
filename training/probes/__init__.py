"""Small classifiers of frozen features, and what they are trained on."""
