"""Models of any shop: what they look at follows from its features, what they predict from its goal."""
