"""A pretrained model learns a task: one file a task, each with what makes batches, predicts and evaluates."""
