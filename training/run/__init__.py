"""What a run consists of besides its loop: start, checkpoints, watching, results."""
