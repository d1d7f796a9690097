"""What is done with a hit: looked at, cut out, handed to an editor, asked again."""
