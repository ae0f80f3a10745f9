"""Labels image files by the model of a run."""

from fedsafe_tff.commands import main
from fedsafe_tff.commands.predict import predict

if __name__ == "__main__":
  main.run(predict)
