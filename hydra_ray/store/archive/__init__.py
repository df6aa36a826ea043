"""What a run keeps in object storage, so that a run on another cluster goes on from it."""
