package dynamostore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// createTimeout bounds the wait for a new table, unless the context ends first.
const createTimeout = 5 * time.Minute

// CreateTable makes a table that Open accepts, and waits until it is there: on-demand capacity, protected from deletion,
// with a time to live on the attribute "ttl". Change the request with optFns: to take the protection off in tests, to add
// tags or a key of your own. A table that exists is an error. It needs dynamodb:CreateTable, dynamodb:DescribeTable and
// dynamodb:UpdateTimeToLive, which a store does not.
func CreateTable(ctx context.Context, client *dynamodb.Client, table string, optFns ...func(*dynamodb.CreateTableInput)) error {
	if client == nil || table == "" {
		return errors.New("dynamostore: a client and the name of a table are needed")
	}
	in := &dynamodb.CreateTableInput{
		TableName: &table, BillingMode: types.BillingModePayPerRequest, DeletionProtectionEnabled: aws.Bool(true),
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: aws.String(partitionKey), AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: aws.String(sortKey), AttributeType: types.ScalarAttributeTypeS},
		},
		KeySchema: []types.KeySchemaElement{
			{AttributeName: aws.String(partitionKey), KeyType: types.KeyTypeHash},
			{AttributeName: aws.String(sortKey), KeyType: types.KeyTypeRange},
		},
	}
	for _, fn := range optFns {
		fn(in)
	}
	if _, err := client.CreateTable(ctx, in); err != nil {
		return fmt.Errorf("dynamostore: create table: %w", err)
	}
	if err := dynamodb.NewTableExistsWaiter(client).Wait(ctx, &dynamodb.DescribeTableInput{TableName: &table}, createTimeout); err != nil {
		return fmt.Errorf("dynamostore: create table: %w", err)
	}
	_, err := client.UpdateTimeToLive(ctx, &dynamodb.UpdateTimeToLiveInput{
		TableName:               &table,
		TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String(ttlAttribute), Enabled: aws.Bool(true)},
	})
	if err != nil {
		return fmt.Errorf("dynamostore: time to live: %w", err)
	}
	return nil
}
