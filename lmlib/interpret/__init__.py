"""Looking inside a trained model, and measuring what it has picked up: one file an idea."""
