# Versions of everything that is not in go.mod. Kubernetes and etcd of the local control plane are pinned in
# hack/kube-assets/go.mod.
CONTROLLER_GEN_VERSION ?= v0.23.0
# The newest release of the tool for controller-runtime v0.25.
SETUP_ENVTEST_VERSION ?= v0.25.1
GOLANGCI_LINT_VERSION ?= v2.15.0
GO_LICENSES_VERSION ?= v2.0.1

IMG ?= controller:latest
CONTAINER_TOOL ?= docker
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

# Most suites wait more than they compute, so more of them run side by side than there are processors.
TEST_PACKAGES ?= 4

LOCALBIN ?= $(CURDIR)/bin
CONTROLLER_GEN := $(LOCALBIN)/controller-gen-$(CONTROLLER_GEN_VERSION)
export SETUP_ENVTEST := $(LOCALBIN)/setup-envtest-$(SETUP_ENVTEST_VERSION)
GOLANGCI_LINT := $(LOCALBIN)/golangci-lint-$(GOLANGCI_LINT_VERSION)
GO_LICENSES := $(LOCALBIN)/go-licenses-$(GO_LICENSES_VERSION)

# The folder of the local control plane's binaries, provided on first use; to be expanded by a recipe's shell.
KUBE_ASSETS = $$(hack/kube-assets.sh | tail -n 1)
# Talks to the cluster of the current kubeconfig context.
ifndef KUBECTL
KUBECTL = $(KUBE_ASSETS)/kubectl
PROVIDE_KUBECTL := kube-assets
endif

GENERATED := 'api/*/zz_generated.*' 'api/*/applyconfiguration/*' config/crd/bases config/rbac/role.yaml

SHELL := /usr/bin/env bash -o pipefail
.SHELLFLAGS := -ec
.DEFAULT_GOAL := help

##@ General

.PHONY: help
help: ## Explain every target.
	@awk 'BEGIN {FS = ":.*## "; print "Usage: make <target>"} \
		/^[a-zA-Z0-9_-]+:.*## / {printf "  %-16s %s\n", $$1, $$2} \
		/^##@ / {printf "\n%s\n", substr($$0, 5)}' $(MAKEFILE_LIST)

##@ Development

.PHONY: generate
generate: controller-gen ## Generate deepcopy functions and apply configurations of the API types.
	$(LOCALBIN)/controller-gen object:headerFile=hack/boilerplate.go.txt applyconfiguration:headerFile=hack/boilerplate.go.txt paths=./api/...

.PHONY: manifests
manifests: controller-gen ## Generate the CRDs and the operator's ClusterRole.
	$(LOCALBIN)/controller-gen crd rbac:roleName=prod-access-manager-role \
		paths=./api/... paths=./internal/... paths=./cmd/... \
		output:crd:artifacts:config=config/crd/bases output:rbac:artifacts:config=config/rbac

.PHONY: fmt
fmt: ## Format the code.
	go fmt ./...

.PHONY: vet
vet: ## Run go vet.
	go vet ./...

.PHONY: lint
lint: $(GOLANGCI_LINT) ## Run the linters.
	hack/progress.sh golangci-lint $(GOLANGCI_LINT) run

.PHONY: lint-fix
lint-fix: $(GOLANGCI_LINT) ## Run the linters and apply the fixes they know.
	hack/progress.sh golangci-lint $(GOLANGCI_LINT) run --fix

.PHONY: verify
verify: verify-generated verify-tidy verify-fmt verify-licences lint ## Check what a change must not leave undone: generated files, go.mod, format, licences, lint.

.PHONY: verify-generated
verify-generated: generate manifests ## Check that generated files are up to date and in git.
	git diff --exit-code -- $(GENERATED)
	@new=$$(git ls-files --others --exclude-standard -- $(GENERATED)); \
	if [ -n "$$new" ]; then printf 'generated, but not in git:\n%s\n' "$$new"; exit 1; fi

.PHONY: verify-tidy
verify-tidy: ## Check that go.mod and go.sum hold what is needed and no more.
	go mod tidy -diff

.PHONY: verify-fmt
verify-fmt: ## Check that the code is formatted.
	@unformatted=$$(gofmt -l api cmd internal hack test); \
	if [ -n "$$unformatted" ]; then printf 'not formatted (make fmt):\n%s\n' "$$unformatted"; exit 1; fi

.PHONY: verify-licences
verify-licences: $(GO_LICENSES) ## Check file headers and the licences of dependencies.
	hack/licences.sh $(GO_LICENSES)

##@ Build

.PHONY: build
build: ## Build bin/manager and bin/fake-iam.
	CGO_ENABLED=0 hack/progress.sh build go build -trimpath -ldflags '-X main.version=$(VERSION)' -o $(LOCALBIN)/ ./cmd/manager ./cmd/fake-iam

.PHONY: docker-build
docker-build: ## Build the container image IMG.
	$(CONTAINER_TOOL) build --build-arg VERSION=$(VERSION) -t $(IMG) .

.PHONY: build-installer
build-installer: manifests $(PROVIDE_KUBECTL) ## Write dist/install.yaml: everything the cluster needs, in one file.
	mkdir -p dist
	$(KUBECTL) kustomize config/default | sed 's|image: controller:latest|image: $(IMG)|' >dist/install.yaml

.PHONY: clean
clean: ## Remove what was built; the tools and the local control plane stay.
	rm -rf dist cover.out $(LOCALBIN)/manager $(LOCALBIN)/fake-iam

##@ Test

.PHONY: kube-assets
kube-assets: $(SETUP_ENVTEST) ## Provide the local control plane's binaries; the last line printed is their folder.
	@hack/kube-assets.sh

.PHONY: test
test: build kube-assets ## Run the units, properties and suites against the local control plane.
	KUBEBUILDER_ASSETS="$(KUBE_ASSETS)" hack/progress.sh 'go test' go test -race -count=1 -p $(TEST_PACKAGES) -timeout 20m ./...

.PHONY: test-all
test-all: test-moto test-policies test-runbook ## Run what make test leaves out: what needs Python or Node.js.

.PHONY: test-moto
test-moto: ## Hold the contract suite to moto, an independent stand-in for AWS.
	hack/moto.sh

.PHONY: test-runbook
test-runbook: kube-assets ## Carry out docs/runbooks with kubectl and the AWS CLI, against the local control plane and the IAM fake.
	KUBEBUILDER_ASSETS="$(KUBE_ASSETS)" hack/runbook.sh

.PHONY: test-policies
test-policies: build ## Judge the rendered IAM policies with a simulator of IAM's evaluation.
	test/policies/run.sh $(LOCALBIN)/manager

.PHONY: faults
faults: ## Print the matrix of the fault suite: every operation of IAM and every fault, with the calls that it took.
	go test -count=1 -v -run TestMatrix ./test/faults

.PHONY: terraform-validate
terraform-validate: ## Validate the Terraform module, where terraform is installed.
	deploy/terraform/validate.sh

.PHONY: demo
demo: build kube-assets ## Watch the operator at work on the local control plane.
	DEMO_AWS="$$(hack/awscli.sh)" KUBEBUILDER_ASSETS="$(KUBE_ASSETS)" go run ./hack/demo

.PHONY: demo-check
demo-check: build kube-assets ## Run the demo and fail unless everything in it went as told.
	aws=$$(hack/awscli.sh) && DEMO_AWS=$$aws KUBEBUILDER_ASSETS="$(KUBE_ASSETS)" go run ./hack/demo --check

.PHONY: bench
bench: build kube-assets ## Measure against the budgets.
	KUBEBUILDER_ASSETS="$(KUBE_ASSETS)" go run ./test/bench

.PHONY: mutate
mutate: kube-assets ## Switch off each clause of internal/access and each CEL validation: a test must notice. Takes long.
	KUBEBUILDER_ASSETS="$(KUBE_ASSETS)" go run ./hack/mutate

##@ Deployment

.PHONY: install
install: manifests $(PROVIDE_KUBECTL) ## Install the CRDs into the cluster.
	$(KUBECTL) kustomize config/crd | $(KUBECTL) apply --server-side -f -
	$(KUBECTL) kustomize config/crd | $(KUBECTL) wait --for=condition=Established --timeout=60s -f -

.PHONY: uninstall
uninstall: end-grants ## Remove the CRDs, and with them every object, from the cluster.
	$(KUBECTL) kustomize config/crd | $(KUBECTL) delete --ignore-not-found -f -

.PHONY: deploy
deploy: install ## Deploy the operator, image IMG, to the cluster.
	$(KUBECTL) kustomize config/default | sed 's|image: controller:latest|image: $(IMG)|' | $(KUBECTL) apply --server-side -f -

.PHONY: undeploy
undeploy: end-grants ## Remove everything that deploy made.
	$(KUBECTL) kustomize config/default | $(KUBECTL) delete --ignore-not-found -f -

# Only a running operator can take access away, so the grants go before it does.
.PHONY: end-grants
end-grants: $(PROVIDE_KUBECTL) ## Delete every grant and emergency, wait until the operator has taken the access away, and forget revocations.
	if $(KUBECTL) get crd prodaccessgrants.access.hera.dev >/dev/null 2>&1; then \
		$(KUBECTL) delete prodaccessgrants.access.hera.dev --all --timeout=5m; fi
	# Emergencies go without their reports: that takes the verb administer on accessroles.
	if $(KUBECTL) get crd breakglasses.access.hera.dev >/dev/null 2>&1; then \
		$(KUBECTL) delete breakglasses.access.hera.dev --all --timeout=5m; fi
	# Revocations are held by admission and by a finalizer until they are lifted. There is nothing left to revoke.
	if $(KUBECTL) get crd accessrevocations.access.hera.dev >/dev/null 2>&1; then \
		$(KUBECTL) kustomize config/admission | $(KUBECTL) delete --ignore-not-found -f -; \
		$(KUBECTL) delete accessrevocations.access.hera.dev --all --wait=false; \
		for r in $$($(KUBECTL) get accessrevocations.access.hera.dev -o name); do \
			$(KUBECTL) patch $$r --type=merge -p '{"metadata":{"finalizers":null}}'; done; fi

##@ Tools, installed by the targets that need them

.PHONY: controller-gen
controller-gen: $(CONTROLLER_GEN) ## Install controller-gen.
	@ln -sf $(<F) $(LOCALBIN)/$@
$(CONTROLLER_GEN):
	@hack/install-tool.sh $@ sigs.k8s.io/controller-tools/cmd/controller-gen@$(CONTROLLER_GEN_VERSION)

.PHONY: setup-envtest
setup-envtest: $(SETUP_ENVTEST) ## Install setup-envtest.
	@ln -sf $(<F) $(LOCALBIN)/$@
$(SETUP_ENVTEST):
	@hack/install-tool.sh $@ sigs.k8s.io/controller-runtime/tools/setup-envtest@$(SETUP_ENVTEST_VERSION)

.PHONY: golangci-lint
golangci-lint: $(GOLANGCI_LINT) ## Install golangci-lint.
	@ln -sf $(<F) $(LOCALBIN)/$@
$(GOLANGCI_LINT):
	@hack/install-tool.sh $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)

.PHONY: go-licenses
go-licenses: $(GO_LICENSES) ## Install go-licenses.
	@ln -sf $(<F) $(LOCALBIN)/$@
$(GO_LICENSES):
	@hack/install-tool.sh $@ github.com/google/go-licenses/v2@$(GO_LICENSES_VERSION)
