"""A repository that holds several requirements files as one."""

def _joined_lock_impl(ctx):
    ctx.file("BUILD", 'exports_files(["requirements.txt"])\n')
    ctx.file("requirements.txt", "\n".join([ctx.read(file) for file in ctx.attr.files]))

joined_lock = repository_rule(
    implementation = _joined_lock_impl,
    attrs = {"files": attr.label_list(allow_files = [".txt"])},
)
