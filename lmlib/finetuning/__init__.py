"""Fine-tuning: from a pretrained backbone, or from scratch, to a task."""
