"""From the sound of a film to words on its clock."""
