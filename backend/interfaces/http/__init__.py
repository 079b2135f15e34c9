"""HTTP: plural nouns, verbs as sub-resources, JSON both ways."""
