"""The CDK app: `python -m infra.app` writes the CloudFormation template to cdk.out, offline.

The stack names no account and no region. It expects the packages of `infra.bundle` (`make layers`). The address of
the database comes through the secret `minirag/settings` for now, like every other credential: fill it after the
first deployment, before the first request.
"""

import os
import sys
from pathlib import Path
from typing import Final

from aws_cdk import App, CfnOutput, Duration, Stack, Validations
from cdk_nag import AwsSolutionsChecks
from constructs import Construct

from infra import bundle
from infra.api import Api
from infra.functions import Functions
from infra.specs import spec_of
from infra.stores import Stores

# Here and not in cdk.json, so that the CDK command line and the tests see one template.
_FLAGS: Final = {
    # A version is new when its function's layer is; without this a change of the layer would not reach `live`.
    "@aws-cdk/aws-lambda:recognizeLayerVersion": True,
    "@aws-cdk/aws-lambda:recognizeVersionProps": True,
    "@aws-cdk/aws-iam:minimizePolicies": True,
    "@aws-cdk/core:target-partitions": ["aws"],
}


class MiniRag(Stack):
    """Everything of one environment."""

    def __init__(self, scope: Construct, name: str, *, build: Path) -> None:
        super().__init__(scope, name, description="Mini-RAG: questions answered from a team's own documents")
        stores = Stores(
            self,
            "Stores",
            uploads_timeout=Duration.seconds(spec_of("ingest-router").timeout),
            jobs_timeout=Duration.seconds(spec_of("ingest-worker").timeout),
        )
        functions = Functions(self, "Functions", stores=stores, build=build)
        api = Api(self, "Api", functions=functions.live)
        outputs = {
            "ApiUrl": api.rest.url,
            "WebhookUrl": functions.webhook_url.url,
            "Bucket": stores.bucket.bucket_name,
            "SettingsSecret": stores.secret.secret_arn,
        }
        for output, value in outputs.items():
            CfnOutput(self, output, value=value)


def create(build: Path = bundle.BUILD, *, out: Path | None = None, lint: bool = True) -> App:
    """The app, whose synth fails on a finding of cdk-nag and, with `lint`, of the CDK's own check of templates.

    That check takes 8 s; a test runs cfn-lint in its place. Raises BundleError if there are no packages in `build`.
    """
    if not (build / "layer" / "python").is_dir():
        raise bundle.BundleError(f"There are no packages in {build}. Run `make layers` first.")
    app = App(
        context=_FLAGS,
        outdir=str(out) if out else None,
        analytics_reporting=False,
        builtin_cloud_formation_validation=lint,
    )
    MiniRag(app, "MiniRag", build=build)
    Validations.of(app).add_plugins(AwsSolutionsChecks(app, verbose=True))
    return app


def main() -> int:
    # The CDK command line says where it wants the template; without it the CDK would choose a temporary folder.
    create(out=None if "CDK_OUTDIR" in os.environ else bundle.ROOT / "cdk.out").synth()
    return 0


if __name__ == "__main__":
    sys.exit(main())
