# Sourced by scripts that run cargo: puts rustup's usual place into the PATH where the shell has not done so, as it does not
# until the next log-in after rustup was installed.
case ":$PATH:" in
*":${CARGO_HOME:-$HOME/.cargo}/bin:"*) ;;
*) export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH" ;;
esac
