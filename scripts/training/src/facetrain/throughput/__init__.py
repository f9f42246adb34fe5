"""Pictures per second of backbones, beside what the machine's arithmetic and memory allow."""
