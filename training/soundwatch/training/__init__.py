"""The training room: recipes and recordings in, a checkpoint that describes itself out. torch lives here."""
